// A service of our own, shaped after the facts in mes-fields.tsv: production orders with operations and components.
@protocol: [
  { kind: 'odata-v4', path: '/odata/v4/orders' },
  { kind: 'odata-v2', path: '/sap/opu/odata/sap/API_PRODUCTION_ORDER_2_SRV' }
]
service ProductionOrders {
  entity A_ProductionOrder_2 {
    key ManufacturingOrder          : String(12);
        ManufacturingOrderType      : String(4);
        Material                    : String(40);
        ProductionPlant             : String(4);
        TotalQuantity               : Decimal(13, 3);
        MfgOrderConfirmedYieldQty   : Decimal(13, 3);
        ProductionUnit              : String(3);
        ProductionUnitISOCode       : String(3);
        OrderIsReleased             : String(1);
        OrderIsTechnicallyCompleted : String(1);
        OrderIsClosed               : String(1);
        OrderIsMarkedForDeletion    : String(1);
        MfgOrderScheduledStartDate  : Date;
        MfgOrderScheduledStartTime  : Time;
        UnloadingPointName          : String(25);
        @odata.etag
        LastChangeDateTime          : String(14);
        to_ProductionOrderOperation : Composition of many A_ProductionOrderOperation_2
          on to_ProductionOrderOperation.ManufacturingOrder = ManufacturingOrder;
        to_ProductionOrderComponent : Composition of many A_ProductionOrderComponent_3
          on to_ProductionOrderComponent.ManufacturingOrder = ManufacturingOrder;
  }

  entity A_ProductionOrderOperation_2 {
    key OrderInternalBillOfOperations : String(10);
    key OrderIntBillOfOperationsItem  : String(8);
        ManufacturingOrder            : String(12);
        ManufacturingOrderOperation   : String(4);
        MfgOrderOperationText         : String(40);
        WorkCenter                    : String(8);
  }

  entity A_ProductionOrderComponent_3 {
    key Reservation             : String(10);
    key ReservationItem         : String(4);
    key ReservationRecordType   : String(1);
        ManufacturingOrder      : String(12);
        ManufacturingOrderOperation  : String(4);
        Material                : String(40);
        GoodsMovementType       : String(3);
        MatlCompIsMarkedForBackflush : Boolean;
        RequiredQuantity        : Decimal(13, 3);
        WithdrawnQuantity       : Decimal(13, 3);
        BaseUnit                : String(3);
  }

  action TechlyCmpltOrder(ManufacturingOrder : String(12) not null) returns A_ProductionOrder_2;
}
